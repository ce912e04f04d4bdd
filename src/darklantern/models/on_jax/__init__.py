"""JAX: a model's jaxpr with marks for its parts, and one pass over it that records and edits.

From a model to a run: `adapters/` call it with marks (`marks`), `tracing` keeps the jaxpr, `outline` reads parts and
loops, `graph` the data flow with what its `axes` come from, `ports/` recognise what nobody named, `points` are the
places found, `listing` and `naming` give them names, `planning` and `program` turn what is asked for into steps,
`rewriting` does them in the one pass (`stepping` one step, `buffers` what is recorded, `nested` loops and branches),
`running` compiles and calls it, `gradients`, `starting` and `cost` use that, `entry` binds inputs to their trace,
`opened` is what a user holds. What JAX does not promise to keep is touched in `internals` alone.

In the order in which they are made: a Subject is the model as a function; Given, what a user gave it; a Trace, the two
as a jaxpr with its points; Traced, that with names and compiled code; a Call, the arrays of one run; an Entry, a Call
with the Traced that it belongs to. A Plan is what is asked for, on any trace; Prepared, a Plan on one; a Program, its
steps; Made, what a run returned.
"""
