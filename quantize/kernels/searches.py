"""The searches for scales, as one set: NumPy's, or a compiled set that gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantize.kernels.asymmetric import Candidates, Fit, fit_scale_min
from quantize.kernels.codebook import fit_iq4
from quantize.kernels.refinement import fit_positive, fit_refined
from quantize.kernels.symmetric import SignedFit, fit_signed

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Searches:
    """Blocks are columns everywhere; each default says what its twin does."""

    scale_min: Callable[[F32Array, F32Array, Candidates], Fit] = fit_scale_min
    signed: Callable[[F32Array, int, F32Array | None], SignedFit] = fit_signed
    refined: Callable[[F32Array, int], tuple[F32Array, U8Array]] = fit_refined
    positive: Callable[[F32Array, int, F32Array], tuple[F32Array, U8Array]] = fit_positive
    iq4: Callable[[F32Array, F32Array], F32Array] = fit_iq4


NUMPY = Searches()
