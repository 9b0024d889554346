"""What the pages share: choices, jobs on the screen, charts, the 3D viewer, error display."""
