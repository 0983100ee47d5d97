"""What a system of a given size needs, from measured figures: `yuqing plan`."""
