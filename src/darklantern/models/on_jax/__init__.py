"""JAX: a model's jaxpr with marks for its parts, and one pass over it that records and edits.

From a model to a run: `adapters/` call it with marks (`marks`), `tracing` keeps the jaxpr, `outline` reads parts and
loops, `graph` the data flow with what its `axes` come from, `ports/` recognise what nobody named, `points` are the
places found, `listing` and `naming` give them names, `planning` and `program` turn what is asked for into steps,
`rewriting` does them in the one pass (`stepping` one step, `buffers` what is recorded, `nested` loops and branches),
`running` compiles and calls it, `gradients`, `starting` and `cost` use that, `entry` binds inputs to their trace,
`opened` is what a user holds. What JAX does not promise to keep is touched in `internals` alone.
"""
