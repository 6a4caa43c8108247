"""UniVS clip by clip, as released: overlapping clips are decoded together and their answers add up."""
