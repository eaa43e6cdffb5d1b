"""A port in any language, held against autograd through files.

files         tensors on disk: safetensors, and raw little-endian binaries with a JSON index
architecture  architecture.json: the network, in words that a program elsewhere can follow
form          FORM.md: the form in which to write a trace
export        writes these, with the initial weights and the batches
bundle        reads an export back, and refuses one that has been changed
recorded      reads the trace that the port has written
companions    networks that take the same steps, each a little disturbed: how far rounding, or a mistake, would travel
steps         what is known of the port's state before each step, and what the reference makes of the step
judging       one step of the port against the reference
suspects      mistakes re-enacted in the whole network, where the trace does not hold an operation's inputs
verify        all steps, and what they came to
"""
