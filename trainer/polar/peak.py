"""What accelerators can do at most: dense 16-bit tensor FLOP/s as their makers state them, without sparsity."""

import torch

# The first name that the device's name contains counts, so longer names come before shorter ones.
PEAK_FLOPS = (
    ("GB300", 2.5e15),
    ("GB200", 2.5e15),
    ("B300", 2.25e15),
    ("B200", 2.25e15),
    ("GH200", 989.4e12),
    ("H200 NVL", 835.5e12),
    ("H200", 989.4e12),
    ("H100 PCIe", 756.5e12),
    ("H100 NVL", 835.5e12),
    ("H100", 989.4e12),
    ("H800 PCIe", 756.5e12),
    ("H800", 989.4e12),
    ("H20", 148e12),
    ("A100", 312e12),
    ("A800", 312e12),
    ("A40", 149.7e12),
    ("A30", 165e12),
    ("A10G", 70e12),
    ("A10", 125e12),
    ("L40S", 362e12),
    ("L40", 181e12),
    ("L4", 121e12),
    ("V100", 125e12),
)


def peak_flops(device_name: str) -> float | None:
    """Dense 16-bit FLOP/s of a device by its name ("NVIDIA H200"), None for one that is not known, such as a CPU."""
    words = f" {device_name} "
    return next((peak for name, peak in PEAK_FLOPS if f" {name} " in words.replace("-", " ")), None)


def device_peak(device: torch.device) -> float | None:
    """Dense 16-bit FLOP/s of the device training runs on; None when not known."""
    return peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
