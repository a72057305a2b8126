"""A pipeline definition as JSON, whether it is sound or not: what function, checks, engine and ops share.

loading    reads the bytes strictly, and writes them as SageMaker gets them
walk       finds what there is in it: parameters, steps wherever they stand, expressions
problems   points at a place, says what is wrong there, and what may have been meant; the paths for that

`problems` stands on nothing, `walk` and `loading` stand on `problems`. No module asks whether a definition is
valid or allowed: that is SageMaker's to say, and the policy's.
"""
