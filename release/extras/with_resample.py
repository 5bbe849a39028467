"""Extra resample: the arms that imbalanced-learn makes."""

import small_table

small_table.write(400)
small_table.compare(
    models="random_forest",
    arms="none,{method: balanced_random_forest, settings: {n_estimators: 20}},"
    "{method: rusboost, settings: {n_estimators: 5}}",
)
small_table.equipoise("refit", "runs", "--arm", "balanced_random_forest", "-o", "model")
small_table.equipoise("predict", "model", "new.csv", "-o", "predictions.csv")
