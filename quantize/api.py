"""The public face: every verb, and every type that a verb takes or gives.

Nothing here prints, and nothing is guessed silently. A new verb is one file in `quantize/verbs` and
one import here. All names are names of `quantize` itself too, loaded on first use.
"""

from __future__ import annotations

from quantize.errors import (
    AuthError,
    CheckpointError,
    DiskError,
    NetworkError,
    QuantizeError,
    UnsupportedError,
    UsageError,
    VerificationError,
)
from quantize.execution import Needs
from quantize.formats.imatrix_summary import Summary
from quantize.measuring.overview import Overview
from quantize.ollama.doctor.diagnosis import Finding
from quantize.ollama.server.create import Created
from quantize.options import CompareOptions, Options, PlanOptions, VerifyOptions
from quantize.options.modelfile import ModelfileOptions
from quantize.planning.plan import Plan
from quantize.progress import NullProgress, Progress
from quantize.recipes import FileType
from quantize.verbs.common.comparison import Comparison
from quantize.verbs.common.results import (
    Converted,
    InspectedTensor,
    Inspection,
    OutputFile,
    Planned,
    SourceFacts,
)
from quantize.verbs.compare import compare
from quantize.verbs.convert import convert
from quantize.verbs.doctor import diagnose
from quantize.verbs.imatrix import imatrix, make_imatrix
from quantize.verbs.inspect import inspect
from quantize.verbs.lists import list_architectures, list_types
from quantize.verbs.modelfile import modelfile_text
from quantize.verbs.ollama import create_in_ollama
from quantize.verbs.perplexity import perplexity
from quantize.verbs.plan import overview, plan
from quantize.verbs.push import push
from quantize.verbs.verify import Verified, verify

__all__ = [
    "AuthError",
    "CheckpointError",
    "CompareOptions",
    "Comparison",
    "Converted",
    "Created",
    "DiskError",
    "FileType",
    "Finding",
    "InspectedTensor",
    "Inspection",
    "ModelfileOptions",
    "Needs",
    "NetworkError",
    "NullProgress",
    "Options",
    "OutputFile",
    "Overview",
    "Plan",
    "PlanOptions",
    "Planned",
    "Progress",
    "QuantizeError",
    "SourceFacts",
    "Summary",
    "UnsupportedError",
    "UsageError",
    "VerificationError",
    "Verified",
    "VerifyOptions",
    "compare",
    "convert",
    "create_in_ollama",
    "diagnose",
    "imatrix",
    "inspect",
    "list_architectures",
    "list_types",
    "make_imatrix",
    "modelfile_text",
    "overview",
    "perplexity",
    "plan",
    "push",
    "verify",
]
