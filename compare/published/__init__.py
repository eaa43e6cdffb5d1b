"""Published results, theirs beside ours: by runs that the reference agrees with at every step.

figures/        the published figures with their recipes, JSON: the only place where any of them stands
source          reads them
comparison      one figure of theirs beside ours, and what is wanted of it
reproduction    what reproducing a source came to: comparisons, runs, what differs and why, what explains it
runs            makes the runs of a reproduction and keeps what each came to
registry        the reproductions by name
mazur, cs231n   worked miniatures: every number of one step
epochs          measures a network at the end of each epoch
hw0             dlsyscourse's homework: softmax regression, and one hidden layer
nielsen         Nielsen's two initialisations, count by count
quadratic       Nielsen's chapter 1: what the seed does to it, and why
article         the tutorial's own set-up, for which nobody has published a figure
stuck           which output units of it never learn, why, and what frees them
saturation      what that is computed from: images, weights, the units' course
keeping         reproductions as files, results/reproductions/NAME.json
"""
