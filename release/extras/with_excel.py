"""Extra excel: labels read from a workbook."""

import openpyxl

import equipoise as eq

book = openpyxl.Workbook()
for row in [("id", "ill"), ("p1", 1), ("p2", 0), ("p3", 0)]:
    book.active.append(row)
book.save("rows.xlsx")
labels = eq.read_labels("rows.xlsx", label="ill", id_column="id")
assert len(labels) == 3
assert list(labels.ids) == ["p1", "p2", "p3"]
