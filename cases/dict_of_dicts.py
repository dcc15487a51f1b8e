def forward(xp, params):
    w = params["layer1"]["weights"] - params["layer2"]["weights"]
    b = params["layer1"]["biases"] - params["layer2"]["biases"]
    f = (xp.sum(w**2) + xp.sum(b**2)) / 2
    return f


def backward(xp, df, w, b):
    dw = df * w
    db = df * b
    return {
        "params": {
            "layer1": {"weights": dw, "biases": db},
            "layer2": {"weights": -dw, "biases": -db},
        }
    }
