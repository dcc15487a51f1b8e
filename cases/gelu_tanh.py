import math

GELU_SCALING_FACTOR = math.sqrt(2.0 / math.pi)


def forward(xp, inp):
    cube = 0.044715 * inp * inp * inp
    out = 0.5 * inp * (1.0 + xp.tanh(GELU_SCALING_FACTOR * (inp + cube)))
    return out


def backward(xp, dout, inp):
    x = inp
    cube = 0.044715 * x * x * x
    tanh_arg = GELU_SCALING_FACTOR * (x + cube)
    tanh_out = xp.tanh(tanh_arg)
    coshf_out = xp.cosh(tanh_arg)
    sech_out = 1.0 / (coshf_out * coshf_out)
    slope = GELU_SCALING_FACTOR * (1.0 + 3.0 * (0.044715 * x * x))
    local_grad = 0.5 * (1.0 + tanh_out) + x * 0.5 * sech_out * slope
    return {"inp": local_grad * dout}
