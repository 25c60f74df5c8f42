"""Texts of CUDA, its libraries, torch and NCCL mean what docs/decisions.md says.

The texts after "CUDA error: " are what `cudaGetErrorString` of CUDA 12.9 returns; the others stand in the sources and
issues named in docs/decisions.md.
"""

import pytest

from worker.device_errors import LATE, explain, failed_assertion
from worker.supervisor.causes import assertion_evidence, output_evidence

SUFFIX = """
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
Device-side assertions were explicitly omitted for this error check; the error probably arose while initializing the DSA
handlers."""
AT = "/pytorch/aten/src/ATen/native/cuda/"
THREAD = "block: [0,0,0], thread: [4,0,0] Assertion"
LABEL, TOKEN = f"{THREAD} `t >= 0 && t < n_classes` failed.", f"{THREAD} `srcIndex < srcSelectDimSize` failed."
GEMM = "when calling `cublasSgemm( handle, opa, opb, m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc)`"
NCCL = (
    "NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3699, unhandled cuda error, NCCL version "
)
WATCHDOG = (
    "[Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=1, OpType=BROADCAST) ran for 600081 ms"
)

TEXTS = [
    # memory
    ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.81 GiB", "cuda_oom", "memory"),
    ("CUDA error: out of memory", "cuda_oom", "memory"),
    ("CUDA driver error: out of memory", "cuda_oom", "memory"),
    ("CUDA error: CUDA_ERROR_OUT_OF_MEMORY", "cuda_oom", "memory"),
    ("Triton Error [CUDA]: out of memory", "cuda_oom", "memory"),
    ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "cuda_oom", "memory"),
    ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "cuda_oom", "memory"),
    ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", "cuda_oom", "memory"),
    ("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`", "cuda_oom", "memory"),
    (f"{NCCL}2.27.3\nLast error:\nCuda failure 2 'out of memory'", "cuda_oom", "memory"),
    ("HIP out of memory. Tried to allocate 20.00 MiB", "cuda_oom", "memory"),
    ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED", "out_of_memory", "host"),
    # the run
    (f"CUDA error: device-side assert triggered{SUFFIX}", "crashed", "label or an index"),
    ("Triton Error [CUDA]: device-side assert triggered", "crashed", "label or an index"),
    (f"CUDA error: an illegal memory access was encountered{SUFFIX}", "crashed", "index out of range"),
    (f"CUDA error: misaligned address{SUFFIX}", "crashed", "third-party"),
    ("CUDA error: operation not supported on global/shared address space", "crashed", "third-party"),
    ("CUDA error: invalid program counter", "crashed", "third-party"),
    ("CUDA error: invalid configuration argument", "crashed", "another batch size"),
    ("CUDA error: too many resources requested for launch", "crashed", "another batch size"),
    ("CUDA error: too many blocks in cooperative launch", "crashed", "another batch size"),
    ("CUDA error: no kernel image is available for execution on the device", "crashed", "no code for this GPU"),
    ("CUDA error: invalid device function", "crashed", "no code for this GPU"),
    ("CUDA error: the provided PTX was compiled with an unsupported toolchain.", "crashed", "no code for this GPU"),
    ("CUDA error: invalid argument", "crashed", "shapes and types"),
    ("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`", "crashed", "shapes and types"),
    ("cuDNN error: CUDNN_STATUS_BAD_PARAM", "crashed", "shapes and types"),
    ("GET was unable to find an engine to execute this computation", "crashed", "shapes and types"),
    (f"{AT}Loss.cu:257: nll_loss_forward_reduce_cuda_kernel_2d: {LABEL}", "crashed", "label is outside"),
    (f"{AT}Loss.cu:1: x: {THREAD} `cur_target >= 0 && cur_target < n_classes` failed.", "crashed", "label is outside"),
    (f"{AT}Indexing.cu:1292: indexSelectLargeIndex: {TOKEN}", "crashed", "number of embeddings"),
    (f'{AT}IndexKernelUtils.cu:16: {THREAD} `ind >=0 && ind < ind_dim_size && "v"` failed.', "crashed", "embeddings"),
    (f'{AT}ScatterGatherKernel.cu:144: {THREAD} `i < n && "index out of bounds"` failed.', "crashed", "outside its"),
    (f"{AT}Loss.cu:92: operator(): {THREAD} `input_val >= zero && input_val <= one` failed.", "crashed", "probability"),
    ("Target 10 is out of bounds.", "crashed", "label is outside"),
    ("index out of range in self", "crashed", "number of embeddings"),
    ("index 7 is out of bounds for dimension 0 with size 4", "crashed", "outside its tensor"),
    ("index out of bounds: 0 <= tmp3 < 50272", "crashed", "outside its tensor"),
    ("all elements of input should be between 0 and 1", "crashed", "probability"),
    # perhaps the device
    (f"CUDA error: uncorrectable ECC error encountered{SUFFIX}", "device_error", "Xid"),
    ("CUDA error: uncorrectable NVLink error detected during the execution", "device_error", "Xid"),
    ("CUDA error: Invalid access of peer GPU memory over nvlink or a hardware error", "device_error", "Xid"),
    ("CUDA error: hardware stack error", "device_error", "Xid"),
    ("NVRM: Xid (PCI:0000:2b:00): 79, GPU has fallen off the bus.", "device_error", "Xid"),
    ("CUDA error: no CUDA-capable device is detected", "device_error", "Xid"),
    ("CUDA error: CUDA-capable device(s) is/are busy or unavailable", "device_error", "Xid"),
    ("CUDA error: system not yet initialized", "device_error", "Xid"),
    ("CUDA error: initialization error", "device_error", "Xid"),
    (f"CUDA error: unspecified launch failure{SUFFIX}", "device_error", "fault of the GPU"),
    (f"CUDA error: an illegal instruction was encountered{SUFFIX}", "device_error", "fault of the GPU"),
    ("CUDA error: the launch timed out and was terminated", "device_error", "longer than the driver allows"),
    ("CUDA error: unknown error", "device_error", "earlier operation"),
    ("CUDA error: context is destroyed", "device_error", "earlier operation"),
    (f"CUDA error: CUBLAS_STATUS_EXECUTION_FAILED {GEMM}", "device_error", "earlier operation"),
    (f"CUDA error: CUBLAS_STATUS_INTERNAL_ERROR {GEMM}", "device_error", "earlier operation"),
    ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", "device_error", "nearly full"),
    ("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED", "device_error", "earlier operation"),
    (f"{NCCL}2.20.5\nncclUnhandledCudaError: Call to CUDA function failed.", "device_error", "lost each other"),
    ("NCCL communicator was aborted on rank 1.", "device_error", "lost each other"),
    (WATCHDOG, "device_error", "lost each other"),
]


@pytest.mark.parametrize(("text", "kind", "cause"), TEXTS, ids=lambda value: str(value)[:40])
def test_each_text_is_told_apart(text: str, kind: str, cause: str) -> None:
    known = explain(text)
    assert known is not None
    assert known.kind == kind
    assert cause in known.cause


@pytest.mark.parametrize("text", ["", "bad shape", "mat1 and mat2 shapes cannot be multiplied (8x4 and 3x2)", "Killed"])
def test_other_texts_say_nothing_of_a_device(text: str) -> None:
    assert explain(text) is None


def test_only_errors_that_a_gpu_reports_late_say_so() -> None:
    late = {text for text, _, _ in TEXTS if (known := explain(text)) and known.explanation().endswith(LATE)}
    assert f"CUDA error: an illegal memory access was encountered{SUFFIX}" in late
    assert {text for text, _, _ in TEXTS if SUFFIX in text} <= late, "torch itself says so of these"
    assert not late & {
        "CUDA error: invalid configuration argument",
        "CUDA error: out of memory",
        "Target 10 is out of bounds.",
    }


def test_an_assertion_in_the_output_names_the_cause() -> None:
    noise = "a warning\n"
    output = f"{noise}{AT}Loss.cu:257: nll_loss: {LABEL}\n{AT}Loss.cu:257: nll_loss: {LABEL}\nTraceback"
    found = assertion_evidence(output)
    assert found["assertion"] == f"{AT}Loss.cu:257: nll_loss: {LABEL}"
    assert "label is outside" in found["cause"]
    unknown = f"{AT}Some.cu:1: f: {THREAD} `nobody knows` failed."
    assert assertion_evidence(unknown) == {"assertion": unknown}
    assert failed_assertion(noise) is None
    assert assertion_evidence(noise) == {} == output_evidence(noise)


def test_what_a_dead_trainer_wrote_names_the_cause() -> None:
    what = "terminate called after throwing an instance of 'c10::AcceleratorError'\n  what():  CUDA error: "
    assert "Xid" in output_evidence(f"{what}uncorrectable ECC error encountered")["cause"]
    asserted = output_evidence(f"{AT}Indexing.cu:1: f: {TOKEN}\n{what}device-side assert triggered")
    assert "number of embeddings" in asserted["cause"]
