"""What the review service keeps: each kind of thing with its table, its model and how its own events change it."""

from services.review import tables
from services.review.domain.agreements import Agreement, agreement_keys, evolve_agreement
from services.review.domain.batches import Batch, batch_keys, evolve_batch
from services.review.domain.cases import Case, HighQuota, case_keys, evolve_case, evolve_quota, quota_keys
from services.review.domain.loans import Loan, evolve_loan, loan_keys
from services.review.domain.subsidies import Subsidy, evolve_subsidy, subsidy_keys
from shared.aggregates import Aggregate

CASES = Aggregate("cases", tables.cases, Case, evolve_case, case_keys)
AGREEMENTS = Aggregate("agreements", tables.agreements, Agreement, evolve_agreement, agreement_keys)
HIGH_QUOTAS = Aggregate("high_quotas", tables.quotas, HighQuota, evolve_quota, quota_keys)
LOANS = Aggregate("loans", tables.loans, Loan, evolve_loan, loan_keys)
BATCHES = Aggregate("batches", tables.batches, Batch, evolve_batch, batch_keys)
SUBSIDIES = Aggregate("subsidies", tables.subsidies, Subsidy, evolve_subsidy, subsidy_keys)
