"""The rotation that does what is asked on a span and as little as possible elsewhere."""

from __future__ import annotations

import numpy as np

SAME = 1e-7  # sine of the angle below which two directions are one


def least_rotation(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The orthogonal W nearest to the identity with p_i W = q_i, as x W = x + (x left) right.

    p, q: [d, r] with orthonormal columns, r <= d. Returns left [d, s], right [s, d], s <= 2 r. Of all orthogonal W with
    PW = Q it has the least |W - I|: the two complements are matched by their own Procrustes rotation. With cosines c of the
    principal angles between the spans (Bjoerck & Golub 1973) the plane of each pair (p, q) turns by its angle, u = (q - c p) / s
    going to -(p - c q) / s, and what is orthogonal to both spans stays where it is.
    """
    a, cosines, c = np.linalg.svd(p.T @ q)
    p_main, q_main = p @ a, q @ c.T
    u, w = q_main - p_main * cosines, p_main - q_main * cosines
    sines = np.linalg.norm(u, axis=0)
    apart = sines > SAME
    u, w = u[:, apart] / sines[apart], w[:, apart] / sines[apart]
    return np.hstack([p, u]), np.hstack([q - p, -w - u]).T
