"""Contact sheets: one self-contained HTML page that shows searches and their hits.

No script, no font, no request: thumbnails travel inside the page, and its content security policy
forbids everything else. Every text is escaped. Light and dark follow the reader's system.
"""

from composir.sheet.page import SheetSearch, contact_sheet
from composir.sheet.write import gather, write_contact_sheet

__all__ = ["SheetSearch", "contact_sheet", "gather", "write_contact_sheet"]
