def forward(xp, X, Y, Z):
    node1 = X * Y
    node2 = node1 + Z
    node3 = xp.sum(node2)
    return node3


def backward(xp, dnode3, X, Y, node2):
    dnode2 = dnode3 * xp.ones_like(node2)
    dnode1 = dnode2
    dZ = dnode2
    dY = dnode1 * X
    dX = dnode1 * Y
    return {"X": dX, "Y": dY, "Z": dZ}
