"""The arrays that travel between rooms: apart from tensors.py, which --help loads without NumPy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F32Array = NDArray[np.float32]
U8Array = NDArray[np.uint8]
