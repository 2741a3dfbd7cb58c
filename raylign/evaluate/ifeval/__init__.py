"""IFEval: does an answer follow instructions that a program can check? All 25 types, strict and loose."""
