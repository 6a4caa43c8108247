"""How a network follows objects through one video: all the state of a video lives here, and no network."""
