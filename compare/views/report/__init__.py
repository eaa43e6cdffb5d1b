"""A report of one or several records: one HTML file that stands for itself.

course      the steps, thinned to what a page can show
figures     charts' rows, their text alternatives and tables
charts      how the charts are drawn: altair's specifications
formulas    the equations, LaTeX to MathML
pictures    weights and images as PNG
examples    the images on which the two disagree
facts       what is said of one record
page        records in, HTML out; its templates, style and script are in templates/
"""

from compare.views.report.page import ReportError, write_page, write_report

__all__ = ["ReportError", "write_page", "write_report"]
