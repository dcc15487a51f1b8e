LAMBD_SINK, NUM_SINK = 0.5, 3


def logsumexp(xp, x, axis):
    m = xp.max(x, axis=axis, keepdims=True)
    return m + xp.log(xp.sum(xp.exp(x - m), axis=axis, keepdims=True))


def forward(xp, c, a, b):
    log_p = -c / LAMBD_SINK
    log_a = xp.log(a)[:, None]
    log_b = xp.log(b)[None, :]
    columns, rows = [], []
    for _ in range(NUM_SINK):
        log_p = log_p - (logsumexp(xp, log_p, 0) - log_b)
        columns.append(log_p)
        log_p = log_p - (logsumexp(xp, log_p, 1) - log_a)
        rows.append(log_p)
    p = xp.exp(log_p)
    return p


def backward(xp, grad_p, a, b, p, columns, rows):
    grad_log_p = grad_p * p
    grad_log_a = xp.zeros_like(a)
    grad_log_b = xp.zeros_like(b)
    for by_column, by_row in zip(columns[::-1], rows[::-1], strict=True):
        over_rows = xp.sum(grad_log_p, axis=1)
        grad_log_a = grad_log_a + over_rows
        grad_log_p = grad_log_p - xp.exp(by_row) / a[:, None] * over_rows[:, None]
        over_columns = xp.sum(grad_log_p, axis=0)
        grad_log_b = grad_log_b + over_columns
        grad_log_p = grad_log_p - xp.exp(by_column) / b * over_columns
    grad_c = -grad_log_p / LAMBD_SINK
    return {"c": grad_c, "a": grad_log_a / a, "b": grad_log_b / b}
