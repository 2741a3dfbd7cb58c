"""Alignment of the target model on preference pairs: APO and DPO through Ray Train and DeepSpeed."""
