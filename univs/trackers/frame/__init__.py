"""UniVS frame by frame: prompts, a dense memory and the last masks answer every frame as it comes."""
