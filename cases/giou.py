def forward(xp, pred, truth):
    pred_t, pred_b = -pred[:, 0], pred[:, 1]
    pred_l, pred_r = -pred[:, 2], pred[:, 3]
    truth_t, truth_b = -truth[:, 0], truth[:, 1]
    truth_l, truth_r = -truth[:, 2], truth[:, 3]
    X = (pred_b - pred_t) * (pred_r - pred_l)
    Xhat = (truth_b - truth_t) * (truth_r - truth_l)
    Ih = xp.minimum(pred_b, truth_b) - xp.maximum(pred_t, truth_t)
    Iw = xp.minimum(pred_r, truth_r) - xp.maximum(pred_l, truth_l)
    Ch = xp.maximum(pred_b, truth_b) - xp.minimum(pred_t, truth_t)
    Cw = xp.maximum(pred_r, truth_r) - xp.minimum(pred_l, truth_l)
    Inter = Iw * Ih
    U = X + Xhat - Inter
    C = Cw * Ch
    giou = Inter / U - (C - U) / C
    return giou


def backward(
    xp,
    grad,
    pred_t,
    pred_b,
    pred_l,
    pred_r,
    truth_t,
    truth_b,
    truth_l,
    truth_r,
    Inter,
    U,
    C,
    Iw,
    Ih,
    Cw,
    Ch,
):
    zero = xp.zeros_like(U)
    dX_wrt_t = -1 * (pred_r - pred_l)
    dX_wrt_b = pred_r - pred_l
    dX_wrt_l = -1 * (pred_b - pred_t)
    dX_wrt_r = pred_b - pred_t
    dI_wrt_t = xp.where(pred_t > truth_t, -1 * Iw, zero)
    dI_wrt_b = xp.where(pred_b < truth_b, Iw, zero)
    dI_wrt_l = xp.where(pred_l > truth_l, -1 * Ih, zero)
    dI_wrt_r = xp.where(pred_r < truth_r, Ih, zero)
    dU_wrt_t = dX_wrt_t - dI_wrt_t
    dU_wrt_b = dX_wrt_b - dI_wrt_b
    dU_wrt_l = dX_wrt_l - dI_wrt_l
    dU_wrt_r = dX_wrt_r - dI_wrt_r
    dC_wrt_t = xp.where(pred_t < truth_t, -1 * Cw, zero)
    dC_wrt_b = xp.where(pred_b > truth_b, Cw, zero)
    dC_wrt_l = xp.where(pred_l < truth_l, -1 * Ch, zero)
    dC_wrt_r = xp.where(pred_r > truth_r, Ch, zero)
    p_dt = (U * dI_wrt_t - Inter * dU_wrt_t) / (U * U)
    p_db = (U * dI_wrt_b - Inter * dU_wrt_b) / (U * U)
    p_dl = (U * dI_wrt_l - Inter * dU_wrt_l) / (U * U)
    p_dr = (U * dI_wrt_r - Inter * dU_wrt_r) / (U * U)
    p_dt += (C * dU_wrt_t - U * dC_wrt_t) / (C * C)
    p_db += (C * dU_wrt_b - U * dC_wrt_b) / (C * C)
    p_dl += (C * dU_wrt_l - U * dC_wrt_l) / (C * C)
    p_dr += (C * dU_wrt_r - U * dC_wrt_r) / (C * C)
    slopes = xp.stack([-p_dt, p_db, -p_dl, p_dr], axis=1)
    return {"pred": grad[:, None] * slopes}
