"""A studio that draws a small world, the small Stable Diffusion that learned it, and its judge."""
