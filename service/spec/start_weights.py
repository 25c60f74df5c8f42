"""Weights that a training starts from: an uploaded or mounted safetensors file, checked before anything runs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Invalid, Problem
from service.spec.component import Part
from service.spec.datasets.mounted import FolderPath
from service.spec.datasets.report import Report
from service.spec.datasets.upload_base import READ_ONLY
from service.spec.datasets.upload_references import UploadId
from service.spec.layout import Parameter
from service.spec.validation_errors import closest

MAX_SHOWN = 5  # parameters that a problem names
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # buffers, which no layout lists
FLOATING = ("F64", "F32", "F16", "BF16")  # as safetensors names them


class FoundWeights(Part):
    """The contents of the file: what a worker needs to find and check it."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    tensors: Annotated[int, Field(ge=1, description="number of tensors in the file")]


class StartWeights(Part):
    """Start weights: every parameter and buffer of the model by torch's name, from a safetensors file.

    Give either `upload` or `mounted`.
    """

    upload: UploadId | None = Field(None, description="id of the upload")
    mounted: FolderPath | None = Field(
        None, description="path of a .safetensors file within the mounted folder SADDLE_DATASET_FOLDER"
    )
    head: Literal["keep", "new"] = Field(
        "keep",
        description="new: the model's last layer with parameters keeps its random initialisation, as for other "
        "classes; tensors of that name in the file are not used",
    )
    resolved: FoundWeights | None = Field(None, description=READ_ONLY, json_schema_extra={"readOnly": True})

    @property
    def found(self) -> FoundWeights:
        """The contents of the file; raises `Invalid` if it was not looked up."""
        if self.resolved is None:
            detail = "the file was not looked up: only a server that has it can say what is in it."
            raise Invalid.of([Problem(f"/start/{self.source}", "not_resolved", detail)])
        return self.resolved

    @property
    def source(self) -> str:
        """The field that names the file."""
        return "mounted" if self.upload is None and self.mounted is not None else "upload"

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless exactly one file is named."""
        if (self.upload is None) == (self.mounted is None):
            yield Problem("", "contradiction", "give exactly one of upload and mounted.")

    def resolve(
        self, report: Report, sha256: str, layout: Sequence[Parameter] | None
    ) -> tuple[FoundWeights | None, list[Problem]]:
        """Return what the spec stores about the file, or why the model cannot start from it.

        `layout` None: only the worker knows the model's parameters, and checks them when it builds it.
        """
        if report.format != "safetensors":
            detail = f"is {report.format}, and start weights are a safetensors file."
            return None, [Problem(f"/{self.source}", "wrong_format", detail)]
        problems = [] if layout is None else [*self._misfits(report, layout)]
        return FoundWeights(sha256=sha256, tensors=len(report.columns)), problems

    def _misfits(self, report: Report, layout: Sequence[Parameter]) -> Iterator[Problem]:
        """Yield one problem that names the first parameters that only one side has, or whose shape or type differs."""
        shapes = {column.name: column.shape for column in report.columns}
        types = {column.name: column.holds for column in report.columns}
        head = head_of([parameter.name for parameter in layout])
        found = []
        for parameter in layout:
            if self.head == "new" and is_in(parameter.name, head):
                continue
            given = shapes.get(parameter.name)
            if given is None:
                meant = closest(parameter.name, list(shapes))
                found.append(f"{parameter.name} is missing" + (f" (is it {meant}?)" if meant else ""))
            elif given != parameter.shape:
                found.append(f"{parameter.name} is {list(given)}, not {list(parameter.shape)}")
            elif types[parameter.name] not in FLOATING:
                found.append(f"{parameter.name} holds {types[parameter.name]}, not one of {', '.join(FLOATING)}")
        kept = head if self.head == "new" else ""
        found += [f"{name} is not in the model" for name in _strangers(shapes, layout, kept)]
        if found:
            more = f", and {len(found) - MAX_SHOWN} more" if len(found) > MAX_SHOWN else ""
            fix = f' With {{"head": "new"}} the last layer, {head}, may differ.' if self.head == "keep" else ""
            detail = f"the model's parameters are not those of the file: {', '.join(found[:MAX_SHOWN])}{more}.{fix}"
            yield Problem(f"/{self.source}", "shape_mismatch", detail)


def _strangers(names: Iterable[str], layout: Sequence[Parameter], kept: str) -> Iterator[str]:
    """Yield tensors of the file that are neither a parameter, nor statistics of a normalisation, nor in `kept`."""
    own = {parameter.name for parameter in layout}
    for name in names:
        if name not in own and name.rpartition(".")[2] not in STATISTICS and not (kept and is_in(name, kept)):
            yield name


def head_of(names: Sequence[str]) -> str:
    """Return the module of a model's last parameter, from the parameters' names in torch's order."""
    return names[-1].rpartition(".")[0]


def is_in(name: str, module: str) -> bool:
    """Return whether a parameter or buffer of this name belongs to the module."""
    return name.startswith(f"{module}.")
