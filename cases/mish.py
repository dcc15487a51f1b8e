def forward(xp, x):
    y = x * xp.tanh(xp.log1p(xp.exp(x)))
    return y


def backward(xp, grad_output, x):
    sigmoid = 1 / (1 + xp.exp(-x))
    tanh_softplus = xp.tanh(xp.log1p(xp.exp(x)))
    through_tanh = x * sigmoid * (1 - tanh_softplus * tanh_softplus)
    grad_input = grad_output * (tanh_softplus + through_tanh)
    return {"x": grad_input}
