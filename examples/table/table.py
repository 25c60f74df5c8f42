"""Write a table as people have them: numbers and categories with blanks, a skewed column, a rare class.

python examples/table/table.py > customers.csv
"""

import sys

import numpy as np
import pandas as pd

ROWS = 6_000


def customers(seed: int = 0) -> pd.DataFrame:
    """Return the rows; `part` says which are trained on, `bought` (yes for one in five) is to be predicted."""
    draw = np.random.RandomState(seed)
    age = draw.randint(18, 90, ROWS).astype(float)
    income = np.exp(draw.normal(10, 0.7, ROWS)).round()
    visits = draw.poisson(3, ROWS)
    city = draw.choice(["Bern", "Genoa", "Lyon", "Porto", "Turku"], ROWS, p=[0.1, 0.3, 0.3, 0.2, 0.1])
    plan = draw.choice(["free", "basic", "full"], ROWS, p=[0.5, 0.3, 0.2])
    device = draw.choice(["desktop", "phone", "tablet"], ROWS)
    score = 0.8 * np.log(income) + 0.4 * visits - ((age - 45) / 15) ** 2
    score += pd.Series(city).map({"Bern": 1.5, "Genoa": -0.5, "Lyon": 0.0, "Porto": 0.8, "Turku": -1.0}).to_numpy()
    score += pd.Series(plan).map({"free": -1.0, "basic": 0.0, "full": 1.5}).to_numpy()
    score += np.where((device == "phone") & (visits > 4), 1.5, 0.0) + draw.logistic(0, 0.7, ROWS)
    table = pd.DataFrame({"age": age, "income": income, "visits": visits, "city": city, "plan": plan, "device": device})
    for name, share in (("age", 0.1), ("income", 0.15), ("city", 0.05), ("device", 0.2)):
        table.loc[draw.random_sample(ROWS) < share, name] = np.nan
    table["part"] = draw.choice(["train", "validation"], ROWS, p=[0.75, 0.25])
    table["bought"] = np.where(score > np.quantile(score, 0.8), "yes", "no")
    return table


if __name__ == "__main__":
    customers().to_csv(sys.stdout, index=False)
