"""LoRA fine-tuning on samples in the product's own answer format."""
