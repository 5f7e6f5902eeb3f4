"""Any data set, told apart by its `type`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gradclinic.contract.file_data import UserData
from gradclinic.contract.generated_data import Generated
from gradclinic.contract.shipped_data import Shipped

AnyData = Shipped | Generated | UserData
"""Any data set."""

Data = Annotated[AnyData, Field(discriminator="type")]
"""Any data set, told apart by its `type`."""
