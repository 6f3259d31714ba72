"""Finds a garment in a picture: what stands out from the border, and on a person the part that the kind covers.

The border is taken for background, and GrabCut cuts what is not like it (Rother et al. 2004, by OpenCV): it needs no
weights. Where nothing sensible comes of it the whole image is the region.
"""

import re

import cv2
import numpy as np

SIDE = 192
"""The shorter side of the image that is cut, in pixels: enough for a garment's outline, and a tenth of a second."""
BORDER = 0.04
"""The share of the shorter side that is sure to be background."""
ROUNDS = 4
LEAST, MOST = 0.04, 0.96
"""The least and the greatest share of an image that can be a garment and its wearer."""
LEAST_OF_PERSON = 0.4
"""The least share of the band that is not skin; less are scraps of a garment in the colour of skin. Tops of the
embedded world have 0.47 at least."""
SKIN_LOW, SKIN_HIGH = (0, 135, 85), (255, 180, 135)
"""The bounds of skin in Y, Cr, Cb, in [0, 255]; after Chai and Ngan (1999), a little narrower in Cr, wider in Cb."""
SKIN_TOLERANCE = 9.0
"""The distance in a and b of CIELAB from the person's own face: what is lighter or darker is still skin."""
SPECK = np.ones((5, 5), np.uint8)
"""The square in pixels that a garment has to hold: what is thinner is the edge of a leg or an arm."""
HEAD = 0.16
"""The height of the head, as a share of a person's height."""
WIDEST_HEAD = 0.22
"""The widest head, in shares of a person's height. Of 40 figures of the embedded world 38 had 0.18 at most, of 56
garments laid out flat in colours of skin 50 had more."""
SKIN_OF_A_HEAD = 0.2
"""The share of the top of a figure that is skin, at least, where it is a person's head."""
BANDS = {
    r"coat|cardigan|jacket|blazer|cape": (0.18, 0.6),
    r"hat|cap|beanie": (0.0, 0.14),
    r"dress|gown|jumpsuit|romper": (0.18, 0.78),
    r"shoe|boot|sneaker|sandal": (0.88, 1.0),
    r"shorts": (0.46, 0.68),
    r"skirt": (0.46, 0.78),
    r"pants|trousers|jeans|leggings": (0.46, 0.95),
    r"shirt|top|blouse|sweater|hoodie|pullover|polo|vest|sleeve|tee": (0.18, 0.46),
}
"""The part of a standing person that the words for a kind cover, in shares of the height."""
ANYWHERE = (0.16, 0.96)


def garment_region(pixels: np.ndarray, kind: str) -> np.ndarray:
    """Returns the garment's region: bool H,W, True on the garment.

    Args:
        pixels: uint8 H,W,3 RGB.
        kind: such as "sweater"; where a person wears it, it tells where on the person it is.
    """
    height, width = pixels.shape[:2]
    scale = SIDE / min(height, width)
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    small_region = _of_a_person(small, _foreground(small), kind)
    region = cv2.resize(small_region.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    return region if region.any() else np.ones((height, width), bool)


def band_of(kind: str) -> tuple[float, float]:
    """Returns where on a standing person the kind begins and ends: shares of the height, from the top."""
    for word in reversed(re.findall(r"[a-z]+", kind.lower())):  # the last one is the thing: a dress shirt is a shirt
        for words, band in BANDS.items():
            if re.fullmatch(rf"\w*({words})(s|es)?", word):
                return band
    return ANYWHERE


def _foreground(pixels: np.ndarray) -> np.ndarray:
    """Returns what stands out, as bool H,W; all True where that is next to nothing or next to all."""
    border = max(2, round(BORDER * min(pixels.shape[:2])))
    labels = np.full(pixels.shape[:2], cv2.GC_PR_FGD, np.uint8)
    for edge in (np.s_[:border], np.s_[-border:], np.s_[:, :border], np.s_[:, -border:]):
        labels[edge] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # it seeds its clusters at random
    nowhere = (0, 0, 0, 0)
    cv2.grabCut(_bgr(pixels), labels, nowhere, np.zeros((1, 65)), np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK)
    figure = _largest((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
    return figure if LEAST < figure.mean() < MOST else np.ones_like(figure)


def _of_a_person(pixels: np.ndarray, figure: np.ndarray, kind: str) -> np.ndarray:
    """Returns the part of a figure that the garment covers, where it is a person; else the whole figure."""
    likely = figure & _may_be_skin(pixels)
    rows = np.flatnonzero(figure.any(axis=1))
    top, tall = rows[0], rows[-1] + 1 - rows[0]
    head = np.s_[top : top + max(1, round(HEAD * tall))]
    face, width = likely[head], np.median(figure[head].sum(axis=1))
    if figure.all() or width > WIDEST_HEAD * tall or face.sum() < SKIN_OF_A_HEAD * figure[head].sum():
        return figure
    lab = cv2.cvtColor(_bgr(pixels).astype(np.float32) / 255, cv2.COLOR_BGR2LAB)
    tone = np.median(lab[head][face], axis=0)
    skin = likely & (np.linalg.norm((lab - tone)[..., 1:], axis=2) < SKIN_TOLERANCE)
    first, last = (top + round(share * tall) for share in band_of(kind))
    band = np.zeros_like(figure)
    band[first:last] = True
    worn = figure & band
    dressed = cv2.morphologyEx((worn & ~skin).astype(np.uint8), cv2.MORPH_OPEN, SPECK).astype(bool)
    return dressed if dressed.sum() > LEAST_OF_PERSON * worn.sum() else worn  # of a garment in the colour of skin


def _may_be_skin(pixels: np.ndarray) -> np.ndarray:
    in_range = cv2.inRange(cv2.cvtColor(_bgr(pixels), cv2.COLOR_BGR2YCrCb), np.array(SKIN_LOW), np.array(SKIN_HIGH))
    return in_range.astype(bool)


def _largest(mask: np.ndarray) -> np.ndarray:
    """Returns the largest connected part of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count == 1:
        return mask
    return labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))


def _bgr(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[..., ::-1])
