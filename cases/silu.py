def forward(xp, x):
    y = x / (1 + xp.exp(-x))
    return y


def backward(xp, grad_output, x):
    input_sigmoid = 1 / (1 + xp.exp(-x))
    grad_input = grad_output * (input_sigmoid * (1 + x * (1 - input_sigmoid)))
    return {"x": grad_input}
