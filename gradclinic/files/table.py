"""Reading tables: which format it is, and what their columns are for. The formats have a reader each."""

from __future__ import annotations

from gradclinic.contract.file_data import Table
from gradclinic.files.csv_table import read_csv
from gradclinic.files.files import Files
from gradclinic.files.parquet_table import MAGIC as PARQUET
from gradclinic.files.parquet_table import read_parquet
from gradclinic.files.raw import RawData

SOMETHING_ELSE = {
    b"PK": "a zip archive, such as a workbook of Excel",
    b"\x1f\x8b": "packed with gzip",
    b"\x89H": "HDF5",
    b"\xd0\xcf": "an old workbook of Excel",
}
"""How other files begin that are taken for tables."""


def read_table(data: Table, files: Files) -> RawData:
    """Read features (rows, columns) and the target column: CSV, or Parquet where the file begins like one.

    Raises:
        InvalidSpec: The file cannot be read, a value is missing or is no number, or there is no such column.
    """
    source = files.find_for(data)
    with source.open() as file:
        start = file.read(4)
        if start[:2] in SOMETHING_ELSE:
            raise source.refusal(f"is {SOMETHING_ELSE[start[:2]]}.", "a CSV or Parquet file")
        file.seek(0)
        read = read_parquet if start == PARQUET else read_csv
        return read(source, file, data.target, files.max_numbers)
