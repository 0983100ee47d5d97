"""Instruction sets in the product's own answer format, from labelled documents of anybody and from analysts' corrections."""
