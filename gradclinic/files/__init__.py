"""Data sets that a user brings: found under the data root or among the uploads, checked, and read as numbers.

Needs no torch. Nothing is unpickled, nothing outside the data root is read, and no size is believed before it was checked.
"""

from gradclinic.files.facts import check_asked, facts_of
from gradclinic.files.files import Files
from gradclinic.files.raw import RawData
from gradclinic.files.readers import read_rows

__all__ = ["Files", "RawData", "check_asked", "facts_of", "read_rows"]
