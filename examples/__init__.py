"""Things to try yuqing on."""
