"""A synthetic cohort, calibrated to published figures, in the files that real parties have.

`generate` writes the folders of three parties; `demo_agreement` writes the agreement they sign. Nothing here
is about a real person.
"""

from console.cohort.agreement import demo_agreement
from console.cohort.generate import Summary, generate
from console.cohort.shape import Shape

__all__ = ["Shape", "Summary", "demo_agreement", "generate"]
