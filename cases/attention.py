import math


def forward(xp, query, key, value, mask):
    scale = 1.0 / math.sqrt(query.shape[-1])
    scores = xp.matmul(query, xp.matrix_transpose(key)) * scale
    preatt = xp.where(mask == 1, scores, xp.full_like(scores, -math.inf))
    maxval = xp.max(preatt, axis=-1, keepdims=True)
    expv = xp.exp(preatt - maxval)
    att = expv / xp.sum(expv, axis=-1, keepdims=True)
    out = xp.matmul(att, value)
    return out


def backward(xp, dout, query, key, value, att):
    scale = 1.0 / math.sqrt(query.shape[-1])
    datt = xp.matmul(dout, xp.matrix_transpose(value))
    dvalue = xp.matmul(xp.matrix_transpose(att), dout)
    dpreatt = att * (datt - xp.sum(att * datt, axis=-1, keepdims=True))
    dquery = xp.matmul(dpreatt, key) * scale
    dkey = xp.matmul(xp.matrix_transpose(dpreatt), query) * scale
    return {"query": dquery, "key": dkey, "value": dvalue}
