def forward(xp, means, conic, opacity, colors, background):
    x = means[:, 0]
    y = means[:, 1]
    power = -0.5 * (conic[:, 0] * x * x + conic[:, 2] * y * y) - conic[:, 1] * x * y
    G = xp.exp(power)
    alphas = opacity * G
    T_final = xp.ones_like(opacity[0])
    accumulated = xp.zeros_like(background)
    for i in range(opacity.shape[0]):
        accumulated = accumulated + colors[i] * alphas[i] * T_final
        T_final = T_final * (1 - alphas[i])
    pixel = accumulated + T_final * background
    return pixel


def backward(xp, dL_dpixel, means, conic, opacity, colors, background, x, y, G, alphas, T_final):
    dL_dcolors = xp.zeros_like(colors)
    dL_dalphas = xp.zeros_like(opacity)
    T = T_final
    accum_rec = xp.zeros_like(background)
    last_alpha = xp.zeros_like(T)
    last_color = xp.zeros_like(background)
    bg_dot_dpixel = xp.sum(background * dL_dpixel)
    for j in range(opacity.shape[0] - 1, -1, -1):
        alpha = alphas[j]
        T = T / (1 - alpha)
        dchannel_dcolor = alpha * T
        accum_rec = last_alpha * last_color + (1 - last_alpha) * accum_rec
        last_color = colors[j]
        last_alpha = alpha
        dL_dcolors[j] = dchannel_dcolor * dL_dpixel
        dL_dalpha = xp.sum((colors[j] - accum_rec) * dL_dpixel)
        dL_dalpha *= T
        dL_dalpha += -T_final / (1 - alpha) * bg_dot_dpixel
        dL_dalphas[j] = dL_dalpha
    dL_dopacity = G * dL_dalphas
    dL_dG = opacity * dL_dalphas
    gdx = G * x
    gdy = G * y
    dG_ddelx = -gdx * conic[:, 0] - gdy * conic[:, 1]
    dG_ddely = -gdy * conic[:, 2] - gdx * conic[:, 1]
    dL_dconic_x = -0.5 * gdx * x * dL_dG
    dL_dconic_y = -gdx * y * dL_dG
    dL_dconic_z = -0.5 * gdy * y * dL_dG
    return {
        "means": xp.stack([dL_dG * dG_ddelx, dL_dG * dG_ddely], axis=1),
        "conic": xp.stack([dL_dconic_x, dL_dconic_y, dL_dconic_z], axis=1),
        "opacity": dL_dopacity,
        "colors": dL_dcolors,
    }
