"""All recipes that a model can serve, on any collections: what each is worth, and what it costs.

`limrank eval zoo` lays out a grid of collections and recipes. A cell of it is an evaluation in a folder and a
process of its own (`cell`), so that its peak memory is its own; what a cell found and cost lies in its
`cell.json`, of which alone table, JSON and plot are made (`zoo_report`). What the scores of several cells are
worth together is reckoned from finished ones (`part_scores`, `fusion`).
"""
