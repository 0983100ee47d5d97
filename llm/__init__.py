"""The language-model stage: prompts, answers with proof, the worker, fine-tuning and merging."""
