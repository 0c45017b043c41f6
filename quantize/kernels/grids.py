"""The grids of the IQ types: which points of a small lattice a group of weights may lie on.

A group of eight weights with 3 levels each has 6561 cells, one of four weights with 8 levels has
4096; a grid is the set of cells that a type has numbers for. ggml numbers them in ascending order,
the first weight counting least, so that a bit per cell says everything. TABLES holds those bits,
compressed; they were made from the tables of ggml-common.h. The gguf package carries the same, and
a test compares.

For a cell that is not on the grid, ggml searches among the points at the smallest distances from
it: all points of the first `shells` distances. The lists are made on first use.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

I32Array = NDArray[np.int32]
U8Array = NDArray[np.uint8]

# Cells whose distances to all points are compared at a time: bounds the memory.
_CELLS_AT_ONCE = 1 << 9


@dataclass(frozen=True, slots=True)
class Grid:
    """Points by number, and for every cell its number or its nearest points.

    A cell is the number whose digits, lowest first, are its levels in base `levels`. `points` is
    `(n, dims)` levels; `number` `(cells,)` the number of a cell's point, -1 where it has none.
    Points near such a cell are `nearby[start : start + count]`, nearest first and then ascending.
    """

    levels: int
    points: U8Array
    number: I32Array
    start: I32Array
    count: I32Array
    nearby: I32Array

    @property
    def dims(self) -> int:
        """Weights in a group."""
        return int(self.points.shape[1])


@cache
def grid(name: str) -> Grid:
    """The grid of a ggml type; IQ1_M has that of IQ1_S."""
    levels, dims, shells, packed = TABLES[name]
    bits = np.frombuffer(zlib.decompress(base64.b85decode(packed)), np.uint8)
    cells = np.flatnonzero(np.unpackbits(bits, count=levels**dims))
    number = np.full(levels**dims, -1, np.int32)
    number[cells] = np.arange(len(cells))
    points = _levels_of(cells, levels, dims)
    missing = np.flatnonzero(number < 0)
    count = np.zeros(len(number), np.int32)
    count[missing], nearby = _nearby(_levels_of(missing, levels, dims), points, shells)
    start = np.cumsum(count, dtype=np.int32) - count
    return Grid(levels, points, number, start, count, nearby)


def _levels_of(cells: NDArray[np.intp], levels: int, dims: int) -> U8Array:
    digits: U8Array = (cells[:, None] // levels ** np.arange(dims) % levels).astype(np.uint8)
    return digits


def _nearby(cells: U8Array, points: U8Array, shells: int) -> tuple[I32Array, I32Array]:
    """How many points each of `cells`, `(N, dims)`, has in its shells, and all of these in turn."""
    counts, numbers = [], []
    for lo in range(0, len(cells), _CELLS_AT_ONCE):
        piece = cells[lo : lo + _CELLS_AT_ONCE]
        # Squares of at most 7 in four places, or of 2 in eight, fit in a byte.
        distance = np.zeros((len(piece), len(points)), np.uint8)
        for start, end in zip(piece.T, points.T, strict=True):
            difference = start[:, None] - end  # wraps around, and its square comes back
            distance += difference * difference
        reach = distance.min(axis=1, keepdims=True)
        for _ in range(shells - 1):
            beyond = np.where(distance > reach, distance, np.uint8(255))
            reach = beyond.min(axis=1, keepdims=True)
        cell, point = np.divmod(np.flatnonzero(distance <= reach), len(points))
        order = np.lexsort((distance[cell, point], cell))
        counts.append(np.bincount(cell, minlength=len(piece)))
        numbers.append(point[order])
    return np.concatenate(counts).astype(np.int32), np.concatenate(numbers).astype(np.int32)


# name -> levels, dims, shells, and the bits: base85 of their zlib compression.
TABLES = {
    "IQ1_S": (
        3, 8, 3, (
        "c-k#eO>0z16uqyx#k83y_qA0qE*kA7fk#%6iL;cd<W&+S(JE7AEBc6nlGQ*KX*Z#@1057+gows$6w-}Cbfte_m;o"
        "2UY|_#*VZa~*x^U%6T=`Mm&aUdhx#ygF&eKOplgaU0)cQ?aLaWb`!=%}lC@i-gZEZ5CFdhU_><`D{U2pdIZAiiRB"
        "Z^Tjpc--1mjt-&r-O_l7bZy)3*%3zRUeyRXfJ~s5?<5PM<UK4aB<I3L}>n{hnc{+>K$G67mn>zvR$=UOtZPa7LUs"
        "mQWQ2bN)ou!Kj_yfb~LQyR=nku)`P+=g=?+GNRyF#AueD^;Yg67k)HG=(os>Uh!rG~(gRxZza2HhyPsM)=qh9|eh"
        "XUldkU;_wA!C+2Fv`rcq!34!0Fqz%0;&7#XeAmBu`}t6ci#>+3WlSwzITy{$0C$RU8lhlWkibbyz6nxOL=l|4%yA"
        "AJ4G^LV^S*V!(*CwdNU%)Qrh$#q9cyW*tq|@QQ}j896#XTv`6q5lhc&*LLPVeEGcad$xT4&D*b^FV9bJ+^}ih*A`"
        "2jX2rIue$9q9{)`S!jt!g=X1D{vGEMnukjj}Wcvs!oqc~_d61@aP1V3Bvcjc9uWpgt6=l#-;vm1GpU-HX*>(|GJ!"
        "F2C{R9{8qA7trFiLFJ0VD+S2Ny_0+jiaiUvPbU!Gt<44HyL$nQ%A{iI)xZW(;0iU=zRoe)YSg8LFF!L&Ei&Q)Fng"
        "Sxd==b)ez8IIEAq?gCPR1z1`cE#svx$dBcgrdMr~`+vY{G*{j)LdH7J(;|V_S3+rEqj0{aUGZ~5`z3=#nUT2ypkI"
        "bf^7Qd%#dKF#22&cWI$B=(k{y*i-P-%7a6aqltG8tC11XWn$8wuQe)#`Rb$ezM@h+=MX6ehv4>@KW-1MD8)wE"),
    ),
    "IQ2_XXS": (
        3, 8, 2, (
        "c-nPRORj`4470MbdWwiuj~R8vF<3s$DPNNQV8mEdDvh1mfzMz4@MsNM4-kL~Dg?0u3Z<Q}s#5&i%a^YL7=qILyw)"
        "W4Cso8iRnlpCLd`c4Du;C<RlH?aajd+e<FY7)k8>WSTt@47wX1jPqB41q=2e+&9hy;#r#nzQ(d`wV2I-N(E<X_7h"
        "ks$x7)Do8!;TEvZcdv+$;Bf*s-;99+U-&7)=?KnsoS&M%ZZjW8ztGaG<oin^)>q~!#84@<5Q?C;cAe-jqH$lW6s<"
        "jvF<nQc*Z$~yKl@H%B$)D{-`Y{-_v~Aze0c0{sHUUCpi"),
    ),
    "IQ2_XS": (
        3, 8, 2, (
        "c-mc2ORj`4470L|dWwh@;*?QWh*MOoP)|Aew9xme83;|{*iP^L>UVu^J$f&9<)%0;rYcZH@zkTcz*1-`0#F4vd)c"
        "qIa~EY0S(m36us~sl4e+uqnt+xnD5p1ifdk&k2^cqyDKl&hVwLuN#<u{Y#82-D2r2AS*#~B;6>b%zZ?$An2Qav5O"
        "yP;?IjC1*OUa>YNXBOJs!l*N%2M9ag1pZ#qbS<pDODX)Ys@FiGwcn?g7z}ZUJ85J?WuXe7)kq!xj_MC=sehbo`f6"
        "hw91-EjVApg;SBK(#S-ctqy5bslAAu_xaBeODLPcR%XL4jpOCvsj1dP@iIwgyVBr<uBI!nKMuUZZ1qQNNP<bV}FG"
        "N4KvRv{ky>(2~*Gt;x6q$P={6Cb#@3Dfxx_wWh`vWo0U*P"),
    ),
    "IQ2_S": (
        3, 8, 1, (
        "c-n1JOKt@r42!agI0c#&;*=39#3>LflvCCTO#7-9jpk=;Y=fB%TefG%OIlXuE_Fz<Ougf=%xu>+l3Bq8hyjg~lMr"
        "unmZ<Wy`~YGiEi#3On5vBd<vmKZSi%aW(psKWGWlAsphF>8rUC+;ZDfa(=s@_F#i0yss$-8fvv#Vf@jNV{kuiVLg"
        "A~66J1A2@4RVJKUxH}IH-$JpaZ^g})pmKjjd>lmojtPqGOJ!xqXVV(I)s3f1HneH&<4|id_Zsqi~d9|fZw$~1nHW"
        "O$bgs-@JBFei6qb36Asxo<#s4;BRhd~d<sfnbhG0<$t^)oE$@gK%zO1xyELVB%s1k`FAKZeJ@WjCtPZ6s4%XC=!C"
        "hZ<C{I5t%jB|RQ$q0^0H^%ZVVCdNfJ9HPfzZdmWSrg_I({bPgptf%^rJMcpz`hTS7u<>s9rVvW-WSa`T|j+oGk"),
    ),
    "IQ3_XXS": (
        8, 4, 2, (
        "c-l=-K?=h#3{ye}VW$qZd!FLL9+1HvWO^EVh1sdkoaHp#R7#szmgHo6m{j1}>~2z^o7e*jro|>W6f;suxGq5Thww"
        "rH-tdy3S=*8VCKknJ;ww~xN=C-Lt2kc1f`n?I#<sN&{qc;xi`rsIog^>xCi>0vO72GEj+P?`#G30*;dkafo0(MD7"
        "0~26E5oy)Fh-PS2J_iYxE!Gh>5A3e2Aw8l#Lz*UZ2xyz&!sE!Xy7=t?heopubnm$;UMyR4j1Wf!f;*xLWT6+u!rw"
        "*Hy!tqyDZ17JdzPtf@!~_J7yrh&WtZi"),
    ),
    "IQ3_S": (
        8, 4, 3, (
        "c-k#dK}rKb5Ud?m7(7iN59ovqtiR~U2pdlmS^v`sIn3TR;sZue5Z@6$Amj-`@D=vV+J}a&>aMEU{rNq)_mDQ1)6r"
        "Xa`g-zl6)-xV9&D<-%sLtw(&E+K!8jAZAn=FIh`{BX?s3iZ9eL!0y{saQwa{i<M_rV8i?Gza!ZNf5Tx$=B>&%}&x"
        "2aFnb2>I1DZfG3@eJJ?w}Hf9jj>U<u}qaX$V(Q{%bJZi0qBwX8+P2=0D&xpG^*kpx3aC_+^woo1gDy;frCMb5s>P"
        "fCelExhl@Z5=M_J&lZwQK<TIaOt1Nd_t_Z4Nkqr(Irw~QLK*sjOloy2EUU#sN3YKfvLC9pG+yhGG#kO><KBF1{I~"
        "{B$E!8AqIlE}-BNQAl`R33C|JNFjj93D(#a!oZudm_a(c~OHe<Yb)Y4R?AVbTWv01QA~hX"),
    ),
}  # fmt: skip
