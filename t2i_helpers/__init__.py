"""CLIP-conditioned diffusion with classifier-free guidance. A subpackage imports only from those to its left:

data -> diffusion -> models -> training -> evaluation -> reporting
"""

__version__ = "0.1.0"
