import { table } from './table.js';

// The menu of a day: dishes with their price in cents.
export function menu(dishes) {
  const rows = dishes.map((dish) => [dish.name, price(dish.cents)]);
  return table(rows, [{ width: 12, side: 'left' }, { width: 6, side: 'right' }]);
}

function price(cents) {
  return (cents / 100).toFixed(2);
}
