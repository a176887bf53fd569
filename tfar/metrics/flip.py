"""FLIP, by its authors' package."""

import numpy as np

from tfar import pixels
from tfar.errors import TfarError
from tfar.metrics.fidelity import check_pair


def flip(original: np.ndarray, restored: np.ndarray) -> float:
    """Mean FLIP: the difference that a viewer sees when the two images alternate, with filters made by hand.

    P. Andersson et al., "FLIP: A difference evaluator for alternating images", HPG 2020, by its authors' package for
    67 pixels per degree: a display 0.7 m wide with 3840 pixels, seen from 0.7 m.

    Args:
        original: uint8 ``(H, W, 3)`` sRGB or ``(H, W)``, in [0, 255].
        restored: the same shape and dtype.

    Returns:
        A number in [0, 1]; 0 for identical images.

    Raises:
        TfarError: when the package flip-evaluator is not installed.
        ValueError: as :func:`tfar.metrics.fidelity.check_pair`.
    """
    check_pair(original, restored)
    try:
        import flip_evaluator
    except ImportError as error:
        raise TfarError(f'FLIP needs the package flip-evaluator: pip install "tfar[perceptual]" ({error})') from error
    images = (np.float32(pixels.as_rgb(image)) / 255 for image in (original, restored))
    return flip_evaluator.evaluate(*images, "LDR", applyMagma=False, parameters={})[1]
