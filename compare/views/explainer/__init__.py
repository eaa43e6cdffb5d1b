"""An explanation of a training: one HTML file in which a learner follows a digit forward and its error back.

subject     the networks that have such a page, and this one's description for it
numbers     the course of the training as data: weights and autograd's gradients, float64 to the bit
equations   the formulas, their symbols marked so that the page can say the number of each
words       everything that the page says, in the reader's language
page        all of it in one file; its style and its scripts are in templates/
"""

from compare.views.explainer.page import write_explainer
from compare.views.explainer.subject import ExplainerError

__all__ = ["ExplainerError", "write_explainer"]
