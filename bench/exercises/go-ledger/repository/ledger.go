package ledger

// Balances tells what each person has more than before: who got money is above zero.
func Balances(entries []Entry) map[string]int64 {
	balances := map[string]int64{}
	for _, entry := range entries {
		balances[entry.From] -= entry.Cents
		balances[entry.To] += entry.Cents
	}
	return balances
}
