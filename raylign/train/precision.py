"""Which type a product is computed in; torch."""

import torch


def product_type(operand: torch.Tensor) -> torch.dtype:
    """Autocast's type, where it is on for the operand's device; otherwise the operand's own."""
    device = operand.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else operand.dtype
