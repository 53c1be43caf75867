"""CLIP-conditioned diffusion with classifier-free guidance, in rooms that data crosses from left to right.

data -> diffusion -> models -> training -> evaluation -> reporting
"""

__version__ = "0.1.0"
