"""What other systems look through: patients, orders, studies and reports as facts, within the asker's scope.

Newest first by our id, page by page: a page goes on behind the id that the one before it ended with. What somebody
opened by break-glass is not in it, since that is a person's look at one patient and no program's.
"""
