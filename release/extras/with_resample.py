"""Extra resample: the arms that imbalanced-learn makes."""

import small_table

small_table.write()
small_table.compare(
    models="random_forest",
    arms="none,{method: balanced_random_forest, settings: {n_estimators: 20}},"
    "{method: rusboost, settings: {n_estimators: 5}}",
)
